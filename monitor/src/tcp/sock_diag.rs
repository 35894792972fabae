//! TCP sockets by state, asked over sock_diag in each network namespace.
