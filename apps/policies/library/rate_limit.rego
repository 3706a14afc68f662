# title: Limit how often agents call
# purpose: Lets each caller use a tool 30 times a minute, and a destructive tool 5 times an hour.
package mandate

default allow := true

default often := {"requests": 30, "seconds": 60}

often := {"requests": 5, "seconds": 3600} if input.resource.annotations.destructive

obligations := {"limit_rate": often}
