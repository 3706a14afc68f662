package mandate

default allow := true

emails := regex.find_n(`[a-z0-9._]+@[a-z0-9.]+\.[a-z]{2,}`, object.get(input.context.input, "text", ""), -1)

deny contains sprintf("%d addresses", [count(emails)]) if count(emails) > 0

deny contains regex.replace(host, `[0-9]+`, "#") if host := input.context.host

require_approval contains sprintf("outside: %s", [input.context.host]) if {
	not glob.match("*.example.com", ["."], input.context.host)
}

require_approval contains "deep" if glob.match("**.internal.*", [], input.context.host)

require_approval contains json.marshal(parts) if {
	parts := regex.find_all_string_submatch_n(`(\w+)@(\w+)`, object.get(input.context.input, "text", ""), 2)
	count(parts) > 0
}

require_approval contains piece if some piece in regex.split(`\.+`, input.context.host)
