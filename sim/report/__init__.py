"""What a person looks at: traces for Perfetto, tables, figures, pages.

In: traces and metrics. Out: files. Heavy libraries are imported where they are used.
"""
