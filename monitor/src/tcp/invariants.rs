//! What must be true of a namespace's sockets if they were counted right: the kernel's files say
//! the same in other words.
