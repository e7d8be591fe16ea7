package wire

// Events is a set of things that happened on a connection, told by command tags
// and messages. It also sees the middle statements of a multi-statement string,
// those of [Conn.Prefix] and those of an [Exchange].
type Events uint32

const (
	// EventDiscardAll: DISCARD ALL. Prepared statements, cursors and settings are gone.
	EventDiscardAll Events = 1 << iota
	// EventDeallocateAll: DEALLOCATE ALL.
	EventDeallocateAll
	// EventDeallocate: DEALLOCATE of one statement.
	EventDeallocate
	// EventBegin: BEGIN or START TRANSACTION.
	EventBegin
	// EventCommit: COMMIT, also COMMIT AND CHAIN.
	EventCommit
	// EventRollback: ROLLBACK, also ROLLBACK TO SAVEPOINT and the COMMIT of a
	// failed transaction.
	EventRollback
	// EventPrepareTransaction: PREPARE TRANSACTION.
	EventPrepareTransaction
	// EventSavepoint: SAVEPOINT or RELEASE.
	EventSavepoint
	// EventSet: SET or RESET, which may have changed the search_path.
	EventSet
	// EventDDL: CREATE, ALTER, DROP and their kin, and DO, which may run them.
	EventDDL
	// EventListen: LISTEN or UNLISTEN.
	EventListen
	// EventParameter: the server reported a new value of a parameter.
	EventParameter
	// EventSearchPath: that is search_path, which servers report from PostgreSQL 18 on.
	EventSearchPath
	// EventError: an ErrorResponse.
	EventError
)

// TakeEvents returns the events since the last call and forgets them.
func (c *Conn) TakeEvents() Events {
	e := c.session.events
	c.session.events = 0
	return e
}

// Has reports whether any of the given events happened.
func (e Events) Has(any Events) bool { return e&any != 0 }

// tagEvents returns what follows from a command tag.
func tagEvents(tag []byte) Events {
	switch string(tag) {
	case "DISCARD ALL":
		return EventDiscardAll
	case "DEALLOCATE ALL":
		return EventDeallocateAll
	case "DEALLOCATE":
		return EventDeallocate
	case "BEGIN", "START TRANSACTION":
		return EventBegin
	case "COMMIT":
		return EventCommit
	case "ROLLBACK":
		return EventRollback
	case "PREPARE TRANSACTION":
		return EventPrepareTransaction
	case "SAVEPOINT", "RELEASE":
		return EventSavepoint
	case "SET", "RESET":
		return EventSet
	case "LISTEN", "UNLISTEN":
		return EventListen
	case "DO", "DISCARD TEMP", "IMPORT FOREIGN SCHEMA", "COMMIT PREPARED":
		return EventDDL
	}
	switch {
	case hasPrefix(tag, "CREATE "), hasPrefix(tag, "ALTER "), hasPrefix(tag, "DROP "):
		return EventDDL
	}
	return 0
}

func hasPrefix(b []byte, s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }
