-- Empties the database that it runs in. It fails if that is not enough to make
-- the database as good as new; then it has to be dropped.
DO $$
DECLARE
	statement text;
	catalog regclass;
	changed bool;
	-- The transaction that created the database: the server's own rows are older.
	born xid := current_setting('psycotest.born')::xid;
	own record; -- row of pg_database
BEGIN
	LOOP -- until nobody else is in it
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN (SELECT count(pg_terminate_backend(pid)) FROM pg_stat_get_activity(NULL) -- pg_stat_activity joins catalogs
			WHERE datid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()) = 0;
		PERFORM pg_sleep(0.002);
	END LOOP;

	SELECT oid, xmin INTO own FROM pg_database WHERE datname = current_database();
	IF own.xmin <> born OR EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = own.oid) THEN
		RAISE 'the database was altered';
	ELSIF EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database()) THEN
		RAISE 'prepared transactions hold locks';
	END IF;

	-- What is in no schema goes first: event triggers and extensions look after
	-- the rest.
	FOR statement IN
		SELECT format('DROP EVENT TRIGGER %I', evtname) FROM pg_event_trigger
		UNION ALL SELECT format('DROP PUBLICATION %I', pubname) FROM pg_publication
		UNION ALL SELECT format('DROP EXTENSION %I CASCADE', extname) FROM pg_extension WHERE oid >= 16384
		UNION ALL SELECT format('DROP FOREIGN DATA WRAPPER IF EXISTS %I CASCADE', fdwname) FROM pg_foreign_data_wrapper
		UNION ALL SELECT format('DROP SCHEMA IF EXISTS %I CASCADE', nspname) FROM pg_namespace WHERE oid >= 16384
		UNION ALL SELECT format('SELECT lo_unlink(%s)', oid) FROM pg_largeobject_metadata
	LOOP
		EXECUTE statement;
	END LOOP;
	-- Tables go before their sequences: one of an identity column cannot go alone.
	FOR statement IN
		SELECT format('DROP %s IF EXISTS %s CASCADE', regexp_replace(type, '^composite | object$', ''), identity) FROM pg_depend, pg_identify_object(classid, objid, 0)
		WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 'public'::regnamespace AND deptype = 'n' AND identity IS NOT NULL
		ORDER BY type = 'sequence'
	LOOP
		EXECUTE statement;
	END LOOP;

	-- Whatever is left, or was changed, depends on something or is in one of the
	-- catalogs of what need not.
	FOREACH catalog IN ARRAY '{pg_depend,pg_namespace,pg_extension,pg_default_acl,pg_proc,pg_class,pg_type,pg_cast,pg_language,pg_am,pg_description}'::regclass[] LOOP
		EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE age(xmin) < $1)', catalog) INTO changed USING age(born);
		IF changed THEN
			RAISE 'rows of % are new', catalog;
		END IF;
	END LOOP;
	IF (SELECT count(*) <> 4 FROM pg_namespace) OR (SELECT count(*) <> 1 FROM pg_extension) THEN
		RAISE 'parts of the server''s own were dropped';
	END IF;
END $$
