//! Deliberately wrong reactors: the bugs that the tests have to notice.
//!
//! Each name is a bug that could have been written here. `wrong!(Name)` stands where it would be, and is the
//! constant `false`: a line with it can be skipped by a reader, and leaves no instruction behind. Only under
//! `--cfg switchboard_wrong` it asks whether the environment variable `SWITCHBOARD_WRONG` says `Name`.
//! `.ci/power` makes each of them and runs the tests until one fails; `docs/testing.md` says how to add one.
//!
//! It knows names; it does not know what is done wrong in them. What the types forbid has no name: `closed`
//! cannot be called twice, since it takes the session.

#[cfg(not(switchboard_wrong))]
macro_rules! wrong {
    ($name:ident) => {
        false
    };
}

#[cfg(switchboard_wrong)]
macro_rules! wrong {
    ($name:ident) => {
        $crate::wrong::is($crate::wrong::Wrong::$name)
    };
}

/// Whether the reactor is to be wrong in that way. The environment is read once.
#[cfg(switchboard_wrong)]
pub(crate) fn is(wrong: Wrong) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Wrong>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| chosen(&std::env::var("SWITCHBOARD_WRONG").unwrap_or_default())) == Some(wrong)
}

/// The wrong reactor of that name. A name that is none must not make a test pass.
#[cfg(switchboard_wrong)]
fn chosen(name: &str) -> Option<Wrong> {
    if name.is_empty() {
        return None;
    }
    let found = ALL.iter().find(|wrong| format!("{wrong:?}") == name);
    assert!(found.is_some(), "SWITCHBOARD_WRONG={name} is none of {ALL:?}");
    found.copied()
}

#[cfg(switchboard_wrong)]
macro_rules! wrongs {
    ($($(#[doc = $does:literal])+ $name:ident,)+) => {
        /// The wrong reactors. Behind each: the failure mode, or the invariant of the simulator, that it breaks.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Wrong {
            $($(#[doc = $does])+ $name,)+
        }

        const ALL: &[Wrong] = &[$(Wrong::$name,)+];
    };
}

#[cfg(switchboard_wrong)]
wrongs! {
    // ---- Codecs ----

    /// A CR that came alone is left on its line when the LF comes. J8.
    CrlfCutInTwo,
    /// How far a line was searched is not forgotten with the line. J8.
    ScanPositionStays,
    /// A line without an end may grow. J3.
    UnendedLineGrows,
    /// A delimiter that came in two parts is not seen. J8.
    DelimiterCutInTwo,
    /// A length field is taken for whole as soon as one byte of it is there. J8.
    LengthAssumedWhole,
    /// A varint ends where the input does. J8.
    VarintCutInTwo,
    /// A codec is never asked when nothing is left, whatever it owes. J8.
    OwedFrameForgotten,
    /// A frame waits for the first byte of the next one. Invariant 20.
    NeedsOneMore,
    /// A frame of exactly the limit is refused. J1.
    FrameLimitOffByOne,
    /// A length in digits may have a sign. J13.
    SignAccepted,

    // ---- One connection: tail, send queue ----

    /// What a codec waits for is reserved before it has come. J1.
    ReservesPromised,
    /// A tail put by keeps its bytes for the next connection. Invariant 15.
    SpareTailNotCleared,
    /// A vectored send begins at the start of the first chunk again. E5.
    VectorOffsetForgotten,
    /// A send begins at the start of its chunk again. E5.
    FrontOffsetForgotten,
    /// Queueing counts as progress, so a stuck peer is kept by what it is sent. E2.
    QueueingIsProgress,
    /// What the kernel takes is no progress, so a slow peer is cut off. E2.
    SendingIsNoProgress,
    /// What a sent chunk held stays in the account. Invariant 7.
    SentStaysHeld,

    // ---- The table, timers, waits ----

    /// An id is taken for whoever has its slot. A12, invariant 16.
    NoGenerationCheck,
    /// A freed slot gives out the same id again. A11, A12.
    GenerationStands,
    /// A slot is free as soon as its connection ends, before `closed`. A11, G3.
    SlotReusedAtOnce,
    /// The events of a connection that is gone go to whoever has its slot. A10.
    StaleEventServed,
    /// Timers outlive their connection. H9.
    TimersOutliveConnection,
    /// A registered descriptor is told of once and never again. Invariant 12.
    SourceNotRearmed,
    /// A timer is due at the start of its millisecond. H1.
    TimerRoundedDown,
    /// A timer that is cancelled after it was collected still fires. H9.
    CancelledTimerFires,
    /// A timer set by a timer may fire in the same turn. G11.
    ZeroTimerSameTurn,
    /// A timer counts from the beginning of the turn and not of its callback's end. H6.
    TimerFromStaleNow,
    /// An alarm rings twice. Invariant 6.
    AlarmTwice,
    /// The idle timeout is a lifetime. F12.
    IdleIsLifetime,
    /// Only input counts as activity. F12.
    IdleIgnoresOutput,
    /// A wait that was moved back by activity is forgotten. F12.
    WaitNotRelinked,
    /// A wait ends without a look at what has arrived meanwhile. H12.
    WaitEndsUnasked,
    /// A peer that is not read is held to be silent. H12.
    PausedTimesOut,
    /// Every byte gives a frame its whole time again. N7.
    FrameTimeoutResets,
    /// A linger has no deadline. F3.
    LingerForever,
    /// A connect has no deadline. D5.
    ConnectForever,
    /// A closed connection still counts for its address. C15.
    AddressNotDismissed,
    /// The first reason stays, though what was to be orderly failed. Invariant 3.
    FirstReasonStays,
    /// What is let go is not read until the next event. A3.
    ResumeReadsNothing,
    /// A turn is not told that a connection is to close. Invariant 20.
    ChoreUntold,

    // ---- What programs ask for ----

    /// The hard limit of a queue is checked without what is to be queued. E14.
    LimitAfterAppend,
    /// A message that does not fit is left out, and the stream goes on. E1.
    HoleInStream,
    /// A message by reference overtakes what was copied before. Invariant 2.
    ReferenceOvertakes,
    /// What is sent out of the input overtakes what was sent before. Invariant 2.
    LentOvertakes,
    /// What was sent out of the input is not sent if the answer is to close. Invariant 13.
    LentLostOnClose,
    /// What is sent to others waits until they have an event. E15.
    FlushForgotten,
    /// A broadcast reaches its first receiver twice. Invariant 2.
    BroadcastTwice,
    /// A broadcast ends at an id that is gone. A12.
    BroadcastEndsAtStale,
    /// Frames of the same batch are delivered after a pause. Invariant 18.
    PauseLate,
    /// Frames of the same batch are delivered after a close. J11, G1.
    FramesAfterClose,
    /// A close with a flush does not wait for the queue. F1.
    CloseWithoutDrain,
    /// Our side ends before the queue is sent. F7.
    FinishAtOnce,
    /// An abort looks like an orderly end to the peer. Invariant 3.
    AbortLooksOrderly,

    // ---- Accepting ----

    /// One connection is accepted for each event. A8, C1.
    AcceptsOnce,
    /// Polls go on telling of a listener while nothing can be accepted. C2, C7.
    ToldThoughFull,
    /// Accepting has no budget. C6.
    AcceptBudgetMissing,
    /// An interrupted accept counts as nothing waiting. B5.
    AcceptInterruptedEnds,
    /// Out of descriptors, accepting waits for an event that never comes. C1.
    AcceptNotRetried,
    /// Out of descriptors, accepting is tried again without a pause. C2.
    AcceptSpins,
    /// A connection that is gone before it is accepted ends the listener. C4.
    AbortedEndsListener,
    /// One connection more than the cap is taken in. C7.
    CapOffByOne,
    /// A listener that closes leaves its backlog to be reset. C10.
    BacklogDropped,

    // ---- Connecting ----

    /// Any event of a connecting socket means that it is connected. D2.
    SpuriousConnect,
    /// An error of a connecting socket is read and not looked at. D1, D4.
    ConnectErrorIgnored,
    /// A connection with itself is accepted. D8.
    SelfConnectAccepted,
    /// What came with the connect is not read. D12.
    ConnectEdgeLost,
    /// A failed connect is told twice. D11, F8.
    ConnectFailedTwice,
    /// All that lost a server at one moment come back at one moment. D15.
    BackoffWithoutChance,
    /// The next address is tried only when one has failed, however long it takes. D5.
    StaggerForgotten,
    /// The failure of one address waits for the stagger before the next one is tried. D4.
    FailureWaits,

    // ---- Receiving ----

    /// Every short receive means drained. A1, A2.
    ShortReceiveTrusted,
    /// A full receive means drained, too. A3.
    FullReceiveTrusted,
    /// A receive into no room at all is taken for the end. B8.
    EmptySliceIsEnd,
    /// An interrupted receive ends the connection. B5.
    InterruptedEnds,
    /// A connection stopped by a budget is not put into the ready queue. A3.
    NotRequeuedAfterBudget,
    /// The poll waits although the ready queue has someone. A5.
    PollForgetsReady,
    /// A receive delivers all its frames, however many. J10.
    FrameBudgetMissing,
    /// An event that comes while reading is paused is lost. A3.
    EdgeLostWhilePaused,
    /// Undecoded bytes are dropped when a callback pauses. Invariant 1.
    TailLostOnPause,
    /// What the codec asks to wait for has no limit. J1.
    RecvLimitIgnored,
    /// After what is no frame, the rest is decoded all the same. J9.
    FrameErrorIgnored,
    /// A codec may answer frames for ever without using input. J6.
    StuckCodecSpins,
    /// The last frame, which the end completes, is dropped. J7.
    LastFrameDropped,
    /// A frame that the end cut off is no error. J7.
    TruncatedIsOrderly,
    /// A peer that ends its side is closed although it may be half-closed. F5.
    HalfCloseEndsBoth,
    /// A reset after the peer's end goes unnoticed. F6.
    HalfClosedIsDeaf,
    /// The peer's end is taken for the end of both sides, before its data is read. A17, A18.
    ReadClosedIsHangUp,
    /// A reset drops what came before it. B3.
    ResetBeforeData,
    /// The error of a socket is asked for before its data is read, and so is lost. B1.
    ErrorTakenBeforeData,
    /// A reset is told as an orderly end. Invariant 3.
    ResetToldAsEnded,
    /// The urgent byte is read after the data around it. L1.
    UrgentAfterData,

    // ---- Sending ----

    /// What a blocked send did not take is dropped. E5, invariant 13.
    BlockedSendDropped,
    /// What a partial send did not take is dropped. E5, invariant 13.
    PartialSendDropped,
    /// What a partial send took is sent again. E5, invariant 1.
    PartialSendRepeated,
    /// A blocked send is tried again at once, for ever. E4, invariant 11.
    BlockedNotRemembered,
    /// Polls are not asked to tell when a blocked connection takes output. Invariant 20.
    OutputUnwatched,
    /// A blocked connection stays blocked when it is writable. A7, invariant 20.
    BlockedForever,
    /// A queue that was above its high mark is never reported as writable. E11, invariant 20.
    HighMarkNeverResumes,
    /// Reading goes on above the high mark. E11.
    HighMarkIgnored,
    /// A send that found no memory is not tried again. B6.
    ExhaustedSendStalls,
    /// A failed send ends the connection before its input is read. B2, B3.
    SendErrorEndsInput,

    // ---- Closing, stopping, panics ----

    /// Lingering reads nothing, so the close resets what was sent last. F1, F2.
    LingerReadsNothing,
    /// Lingering reads as much as the peer sends. F3.
    LingerUnbounded,
    /// A drain does not look at what is pending. F10.
    DrainIgnoresPending,
    /// A drain has no deadline. F10, invariant 17.
    DrainDeadlineIgnored,
    /// Closures beyond the budget of a turn wait for the next wake-up. I4.
    PostsForgotten,
    /// A panic leaves the connection open. G7.
    PanicKeepsConnection,
    /// What a panicking callback sent goes to the next connection. G7, invariant 15.
    PanicLeavesOutput,
    /// The tail a panic took along stays in the account. G7, invariant 7.
    TailLeaksOnPanic,
    /// The limit on all memory is not enforced. E13.
    MemoryLimitIgnored,

    // ---- The system ----

    /// The poll is not asked for urgent marks. A1, L2.
    MarkUnreported,
    /// An IPv6 socket has its options for IPv6 peers only. F12.
    MappedOptionForgotten,
    /// An IPv4 address written as IPv6 goes to the kernel as it is. K10.
    MappedStaysIpv6,
    /// A socket for datagrams that someone else holds too is told of after its close. A10.
    UnboundStaysInPoll,
    /// Options of a connection that is connecting are dropped. F12.
    ConnectingHasNoOptions,
    /// The path of a Unix socket gets its permissions only after it was bound. K8.
    UnixModeLate,
    /// A Unix socket that is in use is taken for one that was left over. K7.
    UnixLiveRemoved,
    /// A path is removed although someone else's socket has it now. K7.
    UnixForeignRemoved,
    /// What lies behind a descriptor that was sent along is not received. A1, K12.
    UnixShortTrusted,
    /// A connect to a Unix listener with a full backlog is not tried again. D9.
    UnixConnectNotRetried,
    /// A datagram whose receiver's queue is full is not tried again. D9.
    UnixDatagramNotRetried,
}

#[cfg(all(test, switchboard_wrong))]
mod tests {
    use super::*;

    /// Lists the names for `.ci/power`.
    #[test]
    fn names() {
        for wrong in ALL {
            println!("wrong: {wrong:?}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_list_of_names() {
        assert_eq!(chosen(""), None);
        assert_eq!(chosen("AlarmTwice"), Some(Wrong::AlarmTwice));
        let message = std::panic::catch_unwind(|| chosen("Nobody")).expect_err("a panic");
        let message = message.downcast_ref::<String>().expect("a message");
        assert!(message.starts_with("SWITCHBOARD_WRONG=Nobody is none of [CrlfCutInTwo, "), "{message}");
    }
}
