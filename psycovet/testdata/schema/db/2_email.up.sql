ALTER TABLE clients ADD email text;
