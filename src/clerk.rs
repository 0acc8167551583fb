//! What Rollbook relies on Clerk for.
