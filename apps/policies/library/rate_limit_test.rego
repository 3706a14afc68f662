package mandate_test

import data.mandate

test_a_minute_has_thirty_calls if {
	mandate.obligations.limit_rate.requests == 30 with input as {}
}

test_what_destroys_is_rarer if {
	call := {"resource": {"annotations": {"destructive": true}}}
	mandate.obligations.limit_rate == {"requests": 5, "seconds": 3600} with input as call
}
