//! rafty-learning
