# title: Starter: ask before anything that can't be undone
# purpose: Lets tools run that only read, and asks a person before a tool destroys something or reaches outside.
package mandate

default allow := true

require_approval contains "This tool may destroy or overwrite something." if {
	input.resource.annotations.destructive
}

require_approval contains "This tool reaches outside of your organization." if {
	input.resource.annotations.open_world
}
