package mandate_test

import data.mandate

tool(annotations) := {"resource": {"annotations": annotations}}

test_what_only_reads_is_allowed if {
	call := tool({"read_only": true, "destructive": false, "open_world": false})
	mandate.allow with input as call
	count(mandate.require_approval) == 0 with input as call
}

test_what_destroys_is_asked_for if {
	call := tool({"read_only": false, "destructive": true, "open_world": false})
	count(mandate.require_approval) == 1 with input as call
}

test_what_reaches_outside_is_asked_for if {
	call := tool({"read_only": true, "destructive": false, "open_world": true})
	count(mandate.require_approval) == 1 with input as call
}
