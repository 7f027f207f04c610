//! What SQLite plans for the queries that run all the time: each by an index, however long the past.
