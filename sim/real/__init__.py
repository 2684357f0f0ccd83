"""The same requests on real BuildKit daemons: one local daemon per runner, or addresses of remote ones.

In: specs of runners, requests. Out: daemons that stand, and what they measured. Nothing of the model is known here.
"""
