"""Every error octoqueue raises, in one tree.

    OctoqueueError
    ├── ConfigError                     the configuration is wrong; names the key
    │   └── ConfigRefused               everything that is wrong with it, at once
    ├── DeclarationError                an actor, queue or option is declared wrongly
    │   ├── UnknownOption               an option nobody owns; names the nearest known one
    │   └── ModuleUnusable              a module cannot be imported or lacks what it was named for
    ├── EnqueueError                    a message was not accepted; nothing of it was stored
    │   ├── LaneFull                    the lane has reached its bound
    │   │   └── DelayedFull             the queue's delayed messages have reached their bound
    │   ├── EnvelopeTooLarge            the payload is over the limit
    │   ├── PayloadNotSerializable      an argument has no JSON form
    │   ├── DuplicateMessage            another message holds the unique key; names it
    │   ├── KeyTaken                    a dead letter's unique key was taken meanwhile; names both
    │   ├── UniqueCycle                 a running message sends the key it holds itself
    │   └── InvalidMessage              a field of the message has an impossible value
    │       └── UnitsOverBurst          it costs more than its limit ever gives at once
    ├── EnvelopeError                   bytes that are no envelope of ours
    │   └── NotReplayable               a dead letter is none, so it cannot run again; names it
    ├── NotThere                        what was named does not exist (any more)
    │   ├── QueueUnknown                nothing was ever put into a queue of that name
    │   ├── MessageUnknown              no message of that id is kept anywhere
    │   ├── DeadLetterUnknown           a queue has no dead letter of that id
    │   ├── ScheduleUnknown             no schedule of that name is declared
    │   ├── FleetUnknown                no fleet of that name is configured; names those that are
    │   ├── WorkflowUnknown             no workflow or execution of that id is kept
    │   └── StepUnknown                 an execution has no step of that key
    ├── NotWaiting                      a message neither waits nor is delayed; says where it is
    ├── ActorUnknown                    a message names an actor this process has not imported
    ├── LeaseLost                       settling was refused: the lease belongs to nobody or another
    ├── ResultError                     a result cannot be given
    │   ├── ResultNotKept               the actor does not keep results
    │   ├── ResultTimeout               no result within the time given
    │   ├── EventsNotKept               the actor tells no events
    │   ├── EventTimeout                no event within the time given
    │   └── ActorFailed                 the actor raised; carries class name, message, traceback
    ├── ResultTooLarge                  an actor returned more than may be kept
    ├── EventTooLarge                   an actor emitted more than one event may hold
    ├── TimeLimitExceeded               an attempt ran longer than its actor allows
    ├── DeadlineExceeded                an attempt still ran at the message's deadline
    ├── MessageExpired                  a message was not started in time and is not run any more
    ├── Cancelled                       somebody cancelled the message; carries the reason
    ├── BatchAnswerInvalid              a batch actor returned no entry a message
    ├── MessageRejected                 middleware said that a message must not run (again)
    ├── PoisonMessage                   too many workers were lost while they ran a message
    ├── StoreError                      a server answered wrongly or not at all
    │   ├── StoreUnavailable            Redis or PostgreSQL cannot be reached
    │   ├── SentTooLate                 a call came after the time it was allowed to take effect
    │   ├── StoreConflict               another transaction won; the same call may succeed
    │   ├── StoreRefused                the server refused a statement; carries its SQLSTATE
    │   ├── ObjectsRefused              the object store does not let us in
    │   ├── ObjectMissing               the object store has no object of that key (any more)
    │   ├── SchemaMismatch              the database's schema is not the one this code needs
    │   ├── PartitionLost               another orchestrator holds the partition now
    │   └── StoreProtocolError          a script answered what the client does not understand
    ├── WorkflowError                   a workflow cannot do what was asked
    │   ├── WorkflowNotDeclared         this process has not imported the function; names the known
    │   ├── WorkflowIdTaken             the id belongs to another start
    │   ├── WorkflowFinished            it has ended, so nothing can be sent to it
    │   ├── WorkflowNotFinished         it has not ended, so it cannot be retried
    │   ├── SignalUnknown               it declares its signals, and this is none of them
    │   ├── SignalInvalid               the value of a signal is not of the declared type
    │   ├── SignalTimeout               no signal came within the time given
    │   ├── InputInvalid                input or output is not of the declared type
    │   ├── InputTooLarge               input, output or a value between is over the limit
    │   ├── HistoryTooLong              an execution has more steps than it may have
    │   ├── HistoryUnreadable           a text is no exported history; names the field
    │   ├── WorkflowChanged             the code does not do what its journal says; names the step
    │   ├── WorkflowMisused             the function did what cannot be replayed
    │   ├── StepFailed                  a step failed for good; carries what was raised
    │   └── WorkflowFailed              it ended without a result; carries what was raised
    ├── ScalingError                    how many workers a fleet should have cannot be said
    │   ├── SignalsUnreadable           what it is decided on could not be read; it is never a 0
    │   ├── TraceInvalid                a trace to simulate is wrong; names file, line and field
    │   └── ForecastStateUnreadable     what a forecast had learnt is not of this version
    ├── ReplyUnusable                   a model answered in a form nobody can use
    ├── SandboxUnavailable              the launcher of isolated commands is gone or cannot start
    ├── EmbeddedError                   a private server could not be started
    │   └── ServerNotFound              no server binary on this machine; says what to install
    ├── DrainError                      a test's drain did not come to its end
    │   ├── DrainTimeout                actors were still running; names them
    │   └── DrainEndless                messages send messages without end
    ├── ProcessError                    a process beside this one cannot do its work
    │   ├── ProcessGivenUp              it ended too often, or before it was ever ready
    │   └── PortTaken                   another program listens where it was to listen
    └── Steer                           not failures: what an actor raises to steer its message
        ├── Retry                       run me again, optionally after a delay
        ├── Snooze                      run me again after a delay, and count no attempt
        └── Discard                     acknowledge me although I did not finish

The docstring of a class is its default message. Fields carry the ids needed to act on it.
`retryable` says whether the same call may succeed later without a change by the caller.

They stand in modules by who reads them. Import them from here: that is their name, also in
tracebacks, pickles and the results of messages.
"""

from __future__ import annotations

from octoqueue.errors.asking import (
    ActorFailed,
    EventsNotKept,
    EventTimeout,
    ResultError,
    ResultNotKept,
    ResultTimeout,
)
from octoqueue.errors.declaring import (
    ConfigError,
    ConfigRefused,
    DeclarationError,
    ModuleUnusable,
    UnknownOption,
)
from octoqueue.errors.hosting import (
    EmbeddedError,
    PortTaken,
    ProcessError,
    ProcessGivenUp,
    ReplyUnusable,
    SandboxUnavailable,
    ServerNotFound,
)
from octoqueue.errors.operating import (
    DeadLetterUnknown,
    EnvelopeError,
    KeyTaken,
    MessageUnknown,
    NotReplayable,
    NotThere,
    NotWaiting,
    QueueUnknown,
    ScheduleUnknown,
)
from octoqueue.errors.root import OctoqueueError
from octoqueue.errors.running import (
    ActorUnknown,
    BatchAnswerInvalid,
    Cancelled,
    DeadlineExceeded,
    EventTooLarge,
    LeaseLost,
    MessageExpired,
    MessageRejected,
    PoisonMessage,
    ResultTooLarge,
    TimeLimitExceeded,
)
from octoqueue.errors.scaling import (
    FleetUnknown,
    ForecastStateUnreadable,
    ScalingError,
    SignalsUnreadable,
    TraceInvalid,
)
from octoqueue.errors.sending import (
    DelayedFull,
    DuplicateMessage,
    EnqueueError,
    EnvelopeTooLarge,
    InvalidMessage,
    LaneFull,
    PayloadNotSerializable,
    UniqueCycle,
    UnitsOverBurst,
)
from octoqueue.errors.steering import (
    Discard,
    Retry,
    Snooze,
    Steer,
)
from octoqueue.errors.storing import (
    ObjectMissing,
    ObjectsRefused,
    SchemaMismatch,
    SentTooLate,
    StoreConflict,
    StoreError,
    StoreProtocolError,
    StoreRefused,
    StoreUnavailable,
)
from octoqueue.errors.testing import (
    DrainEndless,
    DrainError,
    DrainTimeout,
)
from octoqueue.errors.workflows import (
    HistoryTooLong,
    HistoryUnreadable,
    InputInvalid,
    InputTooLarge,
    PartitionLost,
    SignalInvalid,
    SignalTimeout,
    SignalUnknown,
    StepFailed,
    StepUnknown,
    WorkflowChanged,
    WorkflowError,
    WorkflowFailed,
    WorkflowFinished,
    WorkflowIdTaken,
    WorkflowMisused,
    WorkflowNotDeclared,
    WorkflowNotFinished,
    WorkflowUnknown,
)

__all__ = [
    "ActorFailed",
    "ActorUnknown",
    "BatchAnswerInvalid",
    "Cancelled",
    "ConfigError",
    "ConfigRefused",
    "DeadLetterUnknown",
    "DeadlineExceeded",
    "DeclarationError",
    "DelayedFull",
    "Discard",
    "DrainEndless",
    "DrainError",
    "DrainTimeout",
    "DuplicateMessage",
    "EmbeddedError",
    "EnqueueError",
    "EnvelopeError",
    "EnvelopeTooLarge",
    "EventTimeout",
    "EventTooLarge",
    "EventsNotKept",
    "FleetUnknown",
    "ForecastStateUnreadable",
    "HistoryTooLong",
    "HistoryUnreadable",
    "InputInvalid",
    "InputTooLarge",
    "InvalidMessage",
    "KeyTaken",
    "LaneFull",
    "LeaseLost",
    "MessageExpired",
    "MessageRejected",
    "MessageUnknown",
    "ModuleUnusable",
    "NotReplayable",
    "NotThere",
    "NotWaiting",
    "ObjectMissing",
    "ObjectsRefused",
    "OctoqueueError",
    "PartitionLost",
    "PayloadNotSerializable",
    "PoisonMessage",
    "PortTaken",
    "ProcessError",
    "ProcessGivenUp",
    "QueueUnknown",
    "ReplyUnusable",
    "ResultError",
    "ResultNotKept",
    "ResultTimeout",
    "ResultTooLarge",
    "Retry",
    "SandboxUnavailable",
    "ScalingError",
    "ScheduleUnknown",
    "SchemaMismatch",
    "SentTooLate",
    "ServerNotFound",
    "SignalInvalid",
    "SignalTimeout",
    "SignalUnknown",
    "SignalsUnreadable",
    "Snooze",
    "Steer",
    "StepFailed",
    "StepUnknown",
    "StoreConflict",
    "StoreError",
    "StoreProtocolError",
    "StoreRefused",
    "StoreUnavailable",
    "TimeLimitExceeded",
    "TraceInvalid",
    "UniqueCycle",
    "UnitsOverBurst",
    "UnknownOption",
    "WorkflowChanged",
    "WorkflowError",
    "WorkflowFailed",
    "WorkflowFinished",
    "WorkflowIdTaken",
    "WorkflowMisused",
    "WorkflowNotDeclared",
    "WorkflowNotFinished",
    "WorkflowUnknown",
]

for _name in __all__:
    globals()[_name].__module__ = __name__
