"""`make bench`: what an invocation costs beside a bare view and plain ORM code, in one run."""
