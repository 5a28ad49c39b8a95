"""The commands grouped by purpose, as the help shows them."""

from cyclopts import Group

COMPUTE = Group("Compute", sort_key=1)
LOOK = Group("Look at results", sort_key=2)
JUDGE = Group("Judge rules", sort_key=3)
CATALOGUE = Group("What there is", sort_key=4)
HERE = Group("This installation", sort_key=5)
GROUPS = (COMPUTE, LOOK, JUDGE, CATALOGUE, HERE)
