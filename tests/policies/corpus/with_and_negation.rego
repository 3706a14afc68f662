package mandate

default allow := false

is_admin if input.subject.role == "admin"

would_be if is_admin with input.subject as {"role": "admin"}

allow if {
	would_be
	not is_admin
}

allow if {
	is_admin
	not blocked["all"]
	agent := input.resource.agent
	not blocked[agent]
}

blocked contains "echo" if input.context.environment == "sandbox"

blocked contains "all" if input.context.depth > 4
