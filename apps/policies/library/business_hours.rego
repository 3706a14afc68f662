# title: Business hours only
# purpose: Denies calls with side effects at night and on weekends, in your time zone.
package mandate

default allow := true

zone := "Europe/Berlin"

opens_at := 8

closes_at := 18

now := time.parse_rfc3339_ns(input.context.time)

is_open if {
	not time.weekday([now, zone]) in {"Saturday", "Sunday"}
	[hour, _, _] := time.clock([now, zone])
	hour >= opens_at
	hour < closes_at
}

deny contains reason if {
	not input.resource.annotations.read_only
	not is_open
	reason := sprintf("Tools that change something run from %d to %d on weekdays.", [opens_at, closes_at])
}
