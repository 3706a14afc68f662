package mandate

default allow := false

trusted := {"owner", "admin"}

allow if input.subject.role in trusted

allow if {
	input.subject.role == "member"
	count({group | some group in input.subject.groups} & {"ops", "support"}) > 0
}

deny contains sprintf("%s is nobody here", [input.subject.id]) if not input.subject.role
