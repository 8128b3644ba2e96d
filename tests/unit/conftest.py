"""Property tests draw the same examples every time, so that a failure is seen by everybody."""

import hypothesis

hypothesis.settings.register_profile("same-examples", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same-examples")
