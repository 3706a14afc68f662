package mandate_test

import data.mandate

call(role, tags) := {"subject": {"role": role}, "resource": {"project": {"tags": tags}}}

test_a_member_is_kept_out if {
	some reason in mandate.deny with input as call("member", ["payments"])
	reason == "The role member may not work in projects marked payments."
}

test_an_admin_is_not if {
	count(mandate.deny) == 0 with input as call("admin", ["payments"])
}

test_other_projects_are_open if {
	count(mandate.deny) == 0 with input as call("member", ["internal"])
}
