"""What can be done in an org; interfaces and other apps import these modules."""
