# title: Keep roles out of marked projects
# purpose: Denies every call of the listed roles in projects that carry one of the listed tags.
package mandate

default allow := true

kept_out := {"member", "viewer"}

marked := {"customer-data", "payments"}

deny contains reason if {
	input.subject.role in kept_out
	some tag in input.resource.project.tags
	tag in marked
	reason := sprintf("The role %s may not work in projects marked %s.", [input.subject.role, tag])
}
