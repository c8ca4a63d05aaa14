//! rafty-dictionary
