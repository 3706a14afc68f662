package mandate_test

import data.mandate

call(depth, lineage) := {
	"action": {"name": "agent.call"},
	"resource": {"agent": "summarizer"},
	"context": {"depth": depth, "lineage": lineage},
}

test_two_deep_is_allowed if {
	count(mandate.deny) == 0 with input as call(2, ["concierge", "planner"])
}

test_three_deep_is_denied if {
	count(mandate.deny) == 1 with input as call(3, ["concierge", "planner", "writer"])
}

test_nobody_is_called_back if {
	mandate.deny == {"summarizer is already at work in this run."} with input as call(1, ["summarizer"])
}
