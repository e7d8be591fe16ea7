package pgform

// The OIDs of built-in types (PostgreSQL: pg_type.dat).
const (
	OIDBool        = 16
	OIDBytea       = 17
	OIDChar        = 18 // "char", of one byte
	OIDName        = 19
	OIDInt8        = 20
	OIDInt2        = 21
	OIDInt4        = 23
	OIDText        = 25
	OIDOID         = 26
	OIDJSON        = 114
	OIDXML         = 142
	OIDPoint       = 600
	OIDBox         = 603
	OIDCIDR        = 650
	OIDFloat4      = 700
	OIDFloat8      = 701
	OIDMacaddr8    = 774
	OIDMoney       = 790
	OIDMacaddr     = 829
	OIDInet        = 869
	OIDBpchar      = 1042 // character(n)
	OIDVarchar     = 1043
	OIDDate        = 1082
	OIDTime        = 1083
	OIDTimestamp   = 1114
	OIDTimestamptz = 1184
	OIDInterval    = 1186
	OIDTimetz      = 1266
	OIDBit         = 1560
	OIDVarbit      = 1562
	OIDNumeric     = 1700
	OIDUUID        = 2950
	OIDJSONB       = 3802
	OIDInt4Range   = 3904
	OIDNumRange    = 3906
	OIDTsRange     = 3908
	OIDTstzRange   = 3910
	OIDDateRange   = 3912
	OIDInt8Range   = 3926

	OIDNumericArray   = 1231
	OIDInt4Multirange = 4451
	OIDNumMultirange  = 4532
	OIDTsMultirange   = 4533
	OIDTstzMultirange = 4534
	OIDDateMultirange = 4535
	OIDInt8Multirange = 4536
)

// ArrayOID gives the array type of an element type, 0 for types it does not
// know: those of extensions and user-defined ones have no fixed OID.
func ArrayOID(elem uint32) uint32 { return arrayOIDs[elem] }

// IsArrayOID reports whether a type is one of the arrays that ArrayOID gives.
func IsArrayOID(oid uint32) bool { return ElementOID(oid) != 0 }

// IsText reports whether the binary form of a type's values is their text.
func IsText(oid uint32) bool {
	switch oid {
	case OIDText, OIDVarchar, OIDBpchar, OIDName, OIDJSON, OIDXML:
		return true
	}
	return false
}

// ElementOID gives the element type of an array type that ArrayOID gives, else 0.
func ElementOID(array uint32) uint32 { return elementOIDs[array] }

var arrayOIDs = map[uint32]uint32{
	OIDBool: 1000, OIDBytea: 1001, OIDChar: 1002, OIDName: 1003, OIDInt8: 1016, OIDInt2: 1005, OIDInt4: 1007,
	OIDText: 1009, OIDOID: 1028, OIDJSON: 199, OIDXML: 143, OIDPoint: 1017, OIDBox: 1020, OIDCIDR: 651,
	OIDFloat4: 1021, OIDFloat8: 1022, OIDMacaddr8: 775, OIDMoney: 791, OIDMacaddr: 1040, OIDInet: 1041,
	OIDBpchar: 1014, OIDVarchar: 1015, OIDDate: 1182, OIDTime: 1183, OIDTimestamp: 1115, OIDTimestamptz: 1185,
	OIDInterval: 1187, OIDTimetz: 1270, OIDBit: 1561, OIDVarbit: 1563, OIDNumeric: OIDNumericArray, OIDUUID: 2951, OIDJSONB: 3807,
	OIDInt4Range: 3905, OIDNumRange: 3907, OIDTsRange: 3909, OIDTstzRange: 3911, OIDDateRange: 3913, OIDInt8Range: 3927,
	OIDInt4Multirange: 6150, OIDNumMultirange: 6151, OIDTsMultirange: 6152, OIDTstzMultirange: 6153,
	OIDDateMultirange: 6155, OIDInt8Multirange: 6157,
}

var elementOIDs = func() map[uint32]uint32 {
	m := make(map[uint32]uint32, len(arrayOIDs))
	for elem, array := range arrayOIDs {
		m[array] = elem
	}
	return m
}()
