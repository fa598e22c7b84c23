"""What a desk's webhook looks like and how it is signed, for whoever reads or sends one."""
