//! What a program's end means: for the delivery (a [`Verdict`]) and for people (a sentence).
//!
//! The codes are those of sysexits.h (BSD), which says 64 to 78; 126, 127 and 128+n are what a shell answers
//! (POSIX, Shell Command Language, "Exit Status for Commands").

use super::How;

/// What happens to the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its output counts.
    Done,
    /// Quarantine, no retry.
    BadData,
    /// Again later, without using up a retry.
    Later,
    /// Again with backoff while it has attempts left, then failed.
    Retry,
    /// It was cancelled: whoever cancelled it knows what becomes of it.
    Cancelled,
}

/// What a program's end means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// For the delivery.
    pub verdict: Verdict,
    /// For people: a clause that starts in lower case, such as "exit code 65: the data is bad (EX_DATAERR)".
    pub sentence: String,
}

/// What this end means.
pub fn meaning(how: How) -> Meaning {
    let (verdict, sentence) = match how {
        How::Exit(code) => (verdict_of(code), exit_sentence(code)),
        How::Signal(signal) => (Verdict::Retry, format!("killed by {}", signal_words(signal))),
        How::TimedOut => (
            Verdict::Retry,
            "it ran longer than its timeout and was stopped with all it had started".to_owned(),
        ),
        How::Cancelled => {
            (Verdict::Cancelled, "it was cancelled and stopped with all it had started".to_owned())
        }
    };
    Meaning { verdict, sentence }
}

fn verdict_of(code: i32) -> Verdict {
    match code {
        0 => Verdict::Done,
        65 => Verdict::BadData,
        75 => Verdict::Later,
        _ => Verdict::Retry,
    }
}

fn exit_sentence(code: i32) -> String {
    let words = match code {
        0 => "done",
        1 => "the program failed",
        2 => "the program failed, often because of a wrong argument",
        64 => "it was called in a wrong way (EX_USAGE); see the arguments in `run:`",
        65 => "the data is bad (EX_DATAERR)",
        66 => "an input file is missing or cannot be read (EX_NOINPUT)",
        67 => "a user is not known (EX_NOUSER)",
        68 => "a host is not known (EX_NOHOST)",
        69 => "a service that it needs is not available (EX_UNAVAILABLE)",
        70 => "an internal error of the program (EX_SOFTWARE)",
        71 => "the operating system refused something (EX_OSERR)",
        72 => "a system file is missing or damaged (EX_OSFILE)",
        73 => "an output file cannot be created (EX_CANTCREAT)",
        74 => "reading or writing failed (EX_IOERR)",
        75 => "not now, try again later (EX_TEMPFAIL)",
        76 => "a remote side answered what it should not (EX_PROTOCOL)",
        77 => "a permission is missing (EX_NOPERM)",
        78 => "the program's configuration is wrong (EX_CONFIG)",
        126 => "a command was found but cannot be executed (so a shell says); see its permissions",
        127 => "a command was not found (so a shell says); see PATH and the spelling",
        129..=192 => {
            return format!("exit code {code}: a command was killed by {}", signal_words(code - 128));
        }
        _ => "the program failed",
    };
    format!("exit code {code}: {words}")
}

fn signal_words(signal: i32) -> String {
    let (name, why) = match signal {
        libc::SIGHUP => ("SIGHUP", "a hang-up"),
        libc::SIGINT => ("SIGINT", "an interruption"),
        libc::SIGQUIT => ("SIGQUIT", "a request to quit"),
        libc::SIGILL => ("SIGILL", "an instruction that this processor lacks"),
        libc::SIGTRAP => ("SIGTRAP", "a trap of a debugger"),
        libc::SIGABRT => ("SIGABRT", "the program gave itself up"),
        libc::SIGBUS => ("SIGBUS", "a mapped file shrank, or the disk is full"),
        libc::SIGFPE => ("SIGFPE", "a division by zero or the like"),
        libc::SIGKILL => ("SIGKILL", "perhaps out of memory; the system log knows"),
        libc::SIGSEGV => ("SIGSEGV", "a wrong access to memory: a fault in the program"),
        libc::SIGPIPE => ("SIGPIPE", "it wrote to a pipe that nobody reads"),
        libc::SIGALRM => ("SIGALRM", "a timer of the program's own"),
        libc::SIGTERM => ("SIGTERM", "somebody asked it to end"),
        libc::SIGSYS => ("SIGSYS", "a system call that it may not make"),
        libc::SIGXCPU => ("SIGXCPU", "its limit of processor time"),
        libc::SIGXFSZ => ("SIGXFSZ", "its limit of file size"),
        _ => return format!("signal {signal}"),
    };
    format!("{name}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_verdict() {
        for (how, verdict) in [
            (How::Exit(0), Verdict::Done),
            (How::Exit(65), Verdict::BadData),
            (How::Exit(75), Verdict::Later),
            (How::Exit(1), Verdict::Retry),
            (How::Exit(78), Verdict::Retry),
            (How::Exit(127), Verdict::Retry),
            (How::Exit(255), Verdict::Retry),
            (How::Signal(9), Verdict::Retry),
            (How::TimedOut, Verdict::Retry),
            (How::Cancelled, Verdict::Cancelled),
        ] {
            assert_eq!(meaning(how).verdict, verdict, "{how:?}");
        }
    }

    #[test]
    fn every_code_of_sysexits_has_a_sentence_of_its_own() {
        let sentences: std::collections::HashSet<String> = (64..=78)
            .map(|code| meaning(How::Exit(code)).sentence.split_once(": ").unwrap().1.to_owned())
            .collect();
        assert_eq!(sentences.len(), 15);
        assert!(sentences.iter().all(|sentence| sentence.contains("(EX_")));
    }

    #[test]
    fn signals_are_named() {
        assert!(
            meaning(How::Signal(libc::SIGKILL))
                .sentence
                .starts_with("killed by SIGKILL: perhaps out of memory")
        );
        assert!(meaning(How::Exit(137)).sentence.contains("SIGKILL"));
        assert_eq!(meaning(How::Signal(50)).sentence, "killed by signal 50");
    }
}
