package mandate_test

import data.mandate

call(time, read_only) := {
	"context": {"time": time},
	"resource": {"annotations": {"read_only": read_only}},
}

test_a_weekday_is_open if {
	count(mandate.deny) == 0 with input as call("2026-03-02T10:30:00Z", false)
}

test_the_zone_counts if {
	count(mandate.deny) == 1 with input as call("2026-03-02T17:30:00Z", false)
	count(mandate.deny) == 0 with input as call("2026-03-02T07:00:00Z", false)
}

test_a_weekend_is_closed if {
	count(mandate.deny) == 1 with input as call("2026-03-01T10:30:00Z", false)
}

test_reading_goes_on if {
	count(mandate.deny) == 0 with input as call("2026-03-01T10:30:00Z", true)
}
