//! rafty-node
