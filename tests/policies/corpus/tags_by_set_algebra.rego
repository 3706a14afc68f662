package mandate

default allow := true

tags := {tag | some tag in input.resource.project.tags}

forbidden := tags & {"pci", "secret"}

missing := {"reviewed"} - tags

deny contains concat(" ", ["forbidden:", concat(",", sort([tag | some tag in forbidden]))]) if {
	count(forbidden) > 0
}

require_approval contains sprintf("missing %v of %v", [missing, tags | {"reviewed"}]) if {
	count(missing) > 0
}
