package psyco

// The type OIDs that parameters are declared with (PostgreSQL: pg_type.dat).
const (
	oidBool        = 16
	oidBytea       = 17
	oidInt8        = 20
	oidInt4        = 23
	oidText        = 25
	oidCIDR        = 650
	oidFloat8      = 701
	oidMacaddr8    = 774
	oidMacaddr     = 829
	oidInet        = 869
	oidDate        = 1082
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidInterval    = 1186
	oidNumeric     = 1700
	oidUUID        = 2950
	oidJSONB       = 3802
)

// arrayOID gives the array type of an element type, 0 for types it does not
// know: those of extensions and user-defined ones have no fixed OID.
func arrayOID(elem uint32) uint32 { return arrayOIDs[elem] }

// isArrayOID reports whether a type is one of the arrays that arrayOID gives.
func isArrayOID(oid uint32) bool {
	for _, array := range arrayOIDs {
		if array == oid {
			return true
		}
	}
	return false
}

var arrayOIDs = map[uint32]uint32{
	oidBool: 1000, oidBytea: 1001, 18: 1002, 19: 1003, oidInt8: 1016, 21: 1005, oidInt4: 1007,
	oidText: 1009, 26: 1028, 114: 199, 142: 143, 600: 1017, 603: 1020, oidCIDR: 651, 700: 1021,
	oidFloat8: 1022, oidMacaddr8: 775, 790: 791, oidMacaddr: 1040, oidInet: 1041, 1042: 1014,
	1043: 1015, oidDate: 1182, 1083: 1183, oidTimestamp: 1115, oidTimestamptz: 1185,
	oidInterval: 1187, 1266: 1270, 1560: 1561, 1562: 1563, oidNumeric: 1231, oidUUID: 2951,
	oidJSONB: 3807, 3904: 3905, 3906: 3907, 3908: 3909, 3910: 3911, 3912: 3913, 3926: 3927,
	4451: 6150, 4532: 6151, 4533: 6152, 4534: 6153, 4535: 6155, 4536: 6157,
}
