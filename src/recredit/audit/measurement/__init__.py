"""ii-continuous, measured: does each matrix of a rule's state change continuously in time?"""

from recredit.audit.measurement.continuity import slope as slope
from recredit.audit.measurement.continuity import slopes as slopes
