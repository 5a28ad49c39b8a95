"""Kernels that run the tutorials as the site is built: they tell of errors alone, and draw figures sharp on any screen."""

c = get_config()
c.IPKernelApp.log_level = 40
c.InlineBackend.figure_formats = {"svg"}
c.InlineBackend.rc = {"figure.figsize": (7, 4), "savefig.facecolor": "white"}
