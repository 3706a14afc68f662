# What a policy says, each of its four rules in a list that is empty where the rule has no value.
package mandate_answer

document := {
    "allow": [x | x := data.mandate.allow],
    "deny": [x | x := data.mandate.deny],
    "require_approval": [x | x := data.mandate.require_approval],
    "obligations": [x | x := data.mandate.obligations],
}
