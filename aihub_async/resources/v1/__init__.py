"""Operations of the legacy v1 API and of flows."""
