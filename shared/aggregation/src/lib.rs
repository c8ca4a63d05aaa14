//! rafty-aggregation
