//! rafty-rounds
