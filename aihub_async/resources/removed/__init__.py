"""Operations that AI Hub has removed; they still exist on older installations."""
