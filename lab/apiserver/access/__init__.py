"""Who may do what: tokens, Roles and bindings, the reviews by which users ask about themselves."""
