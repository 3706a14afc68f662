package mandate

import rego.v1

import input.context as context
import input.resource.annotations
import input.subject.role

default allow := false

allow if {
	annotations.read_only
	role != "viewer"
}

deny contains "sandbox" if context.environment == "sandbox"

helper := yaml.unmarshal("a: [1, two, {b: true}]\nc: ~")

require_approval contains json.marshal(helper) if yaml.is_valid("a: 1")
