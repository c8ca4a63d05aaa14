//! rafty-consensus
