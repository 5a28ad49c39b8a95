"""The structural criteria: what each asks of a traced program."""
