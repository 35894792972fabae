//! Accept queues: how many ports of a namespace are told apart.
