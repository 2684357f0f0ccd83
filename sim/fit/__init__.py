"""Model and reality: profiles from traces (calibrate), predicted beside measured (validate), today against a baseline
(regress).

In: measured traces, scenarios, a checkout. Out: a profile, a `Validation`, a `Regression`.
"""
