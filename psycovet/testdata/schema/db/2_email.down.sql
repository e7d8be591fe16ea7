ALTER TABLE clients DROP email;
