package mandate_test

import data.mandate

call(is_new) := {
	"action": {"name": "tool.call"},
	"context": {"host": "tickets.example.com", "host_is_new": is_new},
}

test_a_new_host_is_asked_for if {
	mandate.require_approval == {"tickets.example.com has not been called before."} with input as call(true)
}

test_a_known_host_is_not if {
	count(mandate.require_approval) == 0 with input as call(false)
}

test_other_calls_are_not if {
	count(mandate.require_approval) == 0 with input as {"action": {"name": "agent.invoke"}}
}
