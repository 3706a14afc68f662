package mandate

default allow := true

versions := ["1.0.0", "1.2.3-beta", "2.10.0", "2.9.9"]

newest := [version | some version in versions; every other in versions { semver.compare(version, other) >= 0 }]

deny contains newest[0] if input.resource.annotations.destructive

deny contains "no version" if {
	version := object.get(input.context.input, "version", "none")
	not semver.is_valid(version)
}

deny contains sprintf("%v", [units.parse_bytes("10KiB") + units.parse("2k")])

deny contains sprintf("%v", [units.parse_bytes(sprintf("%dMB", [input.context.depth]))])
