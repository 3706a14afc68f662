package mandate_test

import data.mandate

costs(micros) := {"context": {"cost_micros": micros}}

test_cheap_calls_run if {
	count(mandate.require_approval) == 0 with input as costs(100000)
	count(mandate.deny) == 0 with input as costs(100000)
}

test_dear_calls_are_asked_for if {
	mandate.require_approval == {"This call may cost $0.11."} with input as costs(100001)
	mandate.require_approval == {"This call may cost $0.50."} with input as costs(500000)
}

test_too_dear_calls_are_denied if {
	count(mandate.deny) == 1 with input as costs(500001)
	count(mandate.require_approval) == 0 with input as costs(500001)
}

test_every_call_is_capped if {
	mandate.obligations.cap_cost_micros == 500000 with input as costs(0)
}
