"""Where things lie on disk: folders, whole files or none, and the commit that wrote them."""
