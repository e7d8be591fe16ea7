package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// addSamples fills an empty table, so that there is something to look at.
func (s store) addSamples(ctx context.Context) error {
	var empty bool
	if err := s.db.QueryRowContext(ctx, "SELECT NOT EXISTS (SELECT FROM webapp.clients)").Scan(&empty); err != nil || !empty {
		return err
	}
	for i, name := range sampleNames {
		in := input{
			Name:  name,
			Email: "info@" + strings.ReplaceAll(strings.ToLower(strings.Trim(name, ".")), " ", "-") + ".example",
			Total: fmt.Sprintf("%d.%02d", i*i*7919%48611, i*37%100),
			Since: time.Date(2019, 1, 1+i*47, 0, 0, 0, 0, time.UTC).Format(time.DateOnly),
		}
		if name == "ACME Corp." {
			in = input{Name: name, Email: "info@acme.co", Total: "10000", Since: "2020-01-01"}
		}
		if _, err := s.create(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

var sampleNames = []string{
	"ACME Corp.", "Alder Books", "Amber Lane Dairy", "Anchor and Rope", "Bluebird Cycles", "Brightwater Labs",
	"Cedar Row Joinery", "Clockwork Press", "Copper Kettle Tea", "Dandelion Toys", "Driftwood Surf", "Eastgate Optics",
	"Ember Ceramics", "Fernhill Farm", "Foxglove Florists", "Globex", "Granite Climbing", "Harbour Light Cafe",
	"Hazel Grove Honey", "Initech", "Ivory Keys Pianos", "Juniper Outdoors", "Kestrel Drones", "Lantern Theatre",
	"Larkspur Paper", "Maple Street Bakery", "Meridian Maps", "Northwind Traders", "Oakleaf Furniture", "Paper Moon Cinema",
	"Pebble Beach Boats", "Quarry Stoneworks", "Redwood Guitars", "Saffron Kitchen", "Silver Birch Spa", "Tidewater Fish",
	"Umbra Lamps", "Velvet Thread", "Willow Weavers", "Yellow Door Design",
}
