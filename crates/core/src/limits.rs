//! Every bound in one place. Sizes are in bytes, times in the unit that the name ends in.

/// A retry is delayed by `BACKOFF_BASE_MS * 2^(attempt-1)`, with jitter, and never by more than [`BACKOFF_MAX_MS`].
pub const BACKOFF_BASE_MS: u64 = 1_000;
/// The longest delay before a retry: fifteen minutes.
pub const BACKOFF_MAX_MS: u64 = 900_000;
/// Of so many places of a claim one goes to what has waited longest, whatever its priority.
pub const AGED_PLACES_ONE_IN: usize = 8;
/// Nothing is aged before it could have run for so long: a minute.
pub const AGED_AFTER_MS: u64 = 60_000;
/// Of so many priorities, from the lowest on, the oldest are looked at.
pub const AGED_PRIORITIES_MAX: usize = 64;
/// Of each of them so many that may run now are looked at, or four for each place, if that is more.
pub const AGED_LOOK_AT: usize = 256;
/// How often a delivery is given back because its holder died before it counts as failed.
pub const RESCUES_MAX: u32 = 20;
/// Retries of an app that does not say: four attempts in all.
pub const RETRIES_DEFAULT: u32 = 3;
/// How long a lease lasts unless `lease:` says otherwise.
pub const LEASE_DEFAULT_MS: u64 = 60_000;
/// How long a program may run unless `timeout:` says otherwise: one hour.
pub const TIMEOUT_DEFAULT_MS: u64 = 3_600_000;
/// How long running programs get to end by themselves after SIGTERM.
pub const SHUTDOWN_GRACE_MS: u64 = 10_000;
/// What of a program's stderr is kept with the delivery: its end.
pub const STDERR_KEPT_BYTES: usize = 8 * 1024;
/// The largest manifest that is read.
pub const MANIFEST_MAX_BYTES: u64 = 1024 * 1024;
/// The largest configuration that is read.
pub const CONFIG_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// The longest field of a table.
pub const FIELD_MAX_BYTES: usize = 1024 * 1024;
/// The longest row of a table, with its line end.
pub const ROW_MAX_BYTES: usize = 16 * FIELD_MAX_BYTES;
/// The longest record that is taken, as JSON; the longest line that a stream program may answer with; and the most that a
/// program may print for one record.
pub const RECORD_MAX_BYTES: usize = ROW_MAX_BYTES;
/// So many records at most are with one stream program at a time.
pub const STREAM_WINDOW_MAX: usize = 512;
/// So many rows of a file that is split into records enter in one transaction, at most.
pub const SPLIT_BATCH_ROWS: usize = 500;
/// So many bytes of rows enter in one transaction, about.
pub const SPLIT_BATCH_BYTES: usize = 1024 * 1024;
/// How long a file must have been left alone before it counts as complete, unless `settle:` says otherwise.
pub const SETTLE_DEFAULT_MS: u64 = 1_000;
/// How many arrivals are committed in one transaction.
pub const ARRIVALS_BATCH: usize = 500;
/// How many commands one transaction of the ledger's writer may take.
pub const GROUP_COMMIT_MAX: usize = 1_000;
/// How many files one round of syncs may serve.
pub const PUBLISH_GROUP_MAX: usize = 64;
/// The longest text of an error or note that the ledger keeps.
pub const ERROR_TEXT_MAX_BYTES: usize = 16 * 1024;
/// The longest name of an app or a type.
pub const NAME_MAX_BYTES: usize = 64;
/// How many times its own size a compressed input may come to; more is taken for a bomb. Data that people exchange
/// comes to 3 to 50 times; gzip can do 1032 times, zstd far more.
pub const EXPANSION_RATIO_MAX: u64 = 500;
/// Up to so many bytes nothing is said of the ratio.
pub const EXPANSION_FREE_BYTES: u64 = 64 * 1024 * 1024;
/// The most that a compressed input may come to, whatever the ratio: one TiB.
pub const EXPANDED_MAX_BYTES: u64 = 1024 * 1024 * 1024 * 1024;
/// How deep arrays and objects of a JSON record may lie in one another.
pub const JSON_DEPTH_MAX: usize = 127;
/// How many keys one run of the validator remembers, for `unique`, `primaryKey`, `uniqueKeys` and `foreignKeys`; each
/// takes 27 to 55 bytes of memory, and up to 82 while the table grows.
pub const KEYS_REMEMBERED_MAX: usize = 50_000_000;
/// How many records one transaction of a bulk push takes.
pub const PUSH_BATCH_RECORDS: usize = 1_000;
/// And how many bytes of them.
pub const PUSH_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// The most records that one pull gives.
pub const PULL_MAX: usize = 100_000;
/// How long what was pulled is held unless `--lease` says otherwise: five minutes.
pub const PULL_LEASE_DEFAULT_MS: u64 = 300_000;
/// How long a completed record stays before it is archived, unless `archive:` says otherwise: seven days.
pub const RECORDS_COMPLETED_KEPT_MS: u64 = 7 * 86_400_000;
/// How long a failed record stays before it is archived, unless `archive:` says otherwise: thirty days.
pub const RECORDS_FAILED_KEPT_MS: u64 = 30 * 86_400_000;
/// How many records are archived in one transaction.
pub const ARCHIVE_BATCH: usize = 1_000;
/// How many lines that a program says while it works are kept with its delivery.
pub const PROGRESS_LINES_MAX: u64 = 1_000;
/// The longest line of progress that is kept.
pub const PROGRESS_LINE_MAX_BYTES: usize = 4 * 1024;
/// So long after a job ended its result is kept, unless `api: { results: … }` says otherwise: seven days.
pub const RESULTS_KEPT_MS: u64 = 7 * 86_400_000;
/// Requests a second of one key, unless `api: { limits: … }` says otherwise; and so with those that follow.
pub const API_RATE_DEFAULT: u32 = 100;
/// Requests a second of one address, before its key is looked at.
pub const API_RATE_ADDRESS: u32 = 1_000;
/// Requests that are worked on at the same time.
pub const API_REQUESTS_MAX: usize = 1_024;
/// Connections at the same time.
pub const API_CONNECTIONS_MAX: usize = 16_384;
/// Streams of events at the same time.
pub const API_STREAMS_MAX: usize = 16_000;
/// Unended jobs of one caller.
pub const API_CALLER_JOBS_MAX: u64 = 10_000;
/// Deliveries that may wait for one app before new jobs for it are refused.
pub const API_QUEUE_MAX: u64 = 100_000;
/// The largest JSON body.
pub const API_BODY_MAX_BYTES: u64 = 1024 * 1024;
/// The largest upload.
pub const API_UPLOAD_MAX_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// How long a client may take to send its headers, and may pause while it sends a body.
pub const API_IDLE_MS: u64 = 15_000;
/// All headers of a request together.
pub const API_HEADERS_MAX_BYTES: usize = 32 * 1024;
/// How many headers a request may have.
pub const API_HEADERS_MAX: usize = 100;
/// The longest access token.
pub const API_TOKEN_MAX_BYTES: usize = 8 * 1024;
/// So far the clock of who issues tokens and ours may be apart, unless `api: { oauth: … }` says otherwise.
pub const API_TOKEN_LEEWAY_MS: u64 = 30_000;
/// And at most so far.
pub const API_TOKEN_LEEWAY_MAX_MS: u64 = 5 * 60_000;
/// So long keys serve that could not be fetched anew: a day.
pub const API_TOKEN_KEYS_STALE_MS: u64 = 86_400_000;
/// Tokens that were checked and are known again.
pub const API_TOKENS_KNOWN_MAX: usize = 10_000;
/// The longest idempotency key.
pub const IDEMPOTENCY_KEY_MAX_BYTES: usize = 255;
/// How large the output of a job may be that is kept in its row; a larger one is published as a file.
pub const RESULT_INLINE_MAX_BYTES: u64 = 64 * 1024;
/// How many faults of one submission are told.
pub const FAULTS_TOLD_MAX: usize = 20;
/// The longest word of a program's command line (Linux: `MAX_ARG_STRLEN`, less the NUL).
pub const ARGUMENT_MAX_BYTES: usize = 128 * 1024 - 1;
/// How often somebody is told of an ended job before it is given up: over five hours or so.
pub const WEBHOOK_ATTEMPTS: u32 = 30;
/// What waits for so long is stuck: an hour.
pub const STUCK_AFTER_MS: u64 = 3_600_000;
/// Files and records that are on their way in or out at the same time; each takes a thread of 512 that there are.
pub const API_TRANSFERS_MAX: usize = 128;
/// So often a program is believed that says that its disk is full, where ours is not.
pub const FULL_BELIEVED_MAX: u32 = 20;
/// How long a service app may take until its answer begins, unless `timeout:` says otherwise.
pub const SERVICE_TIMEOUT_MS: u64 = 30_000;
/// So many deliveries are posted to a service app at the same time, unless `workers:` says otherwise.
pub const SERVICE_WORKERS: usize = 4;
/// An answer of a service to one delivery is no larger, unless `max_answer:` says otherwise: 10 GB.
pub const SERVICE_ANSWER_MAX_BYTES: u64 = 10_000_000_000;
/// So much of a service's answer is kept that says why it refused a delivery.
pub const SERVICE_ANSWER_KEPT_BYTES: usize = 1024;
/// Data of a delivery larger than this is not searched for a text.
pub const SEARCHED_DATA_MAX_BYTES: usize = 64 * 1024;
