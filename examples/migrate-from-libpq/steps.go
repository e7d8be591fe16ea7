package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/psyco-go/psyco/examples/migrate-from-libpq/shop"
)

// steps are the shop's day. What a step found is the same for every store.
var steps = []struct {
	name string
	run  func(ctx context.Context, s shop.Store) (found string, err error)
}{
	{"import of 500 clients", importClients},
	{"100 clients, one by one", getClients},
	{"20 searches", findClients},
	{"20 orders of 5 items", placeOrders},
	{"3 refusals", fail},
	{"an order's notification", hearOfOrder},
	{"4 clerks, 1 client", race},
}

func importClients(ctx context.Context, s shop.Store) (string, error) {
	clients := make([]shop.Client, 500)
	for i := range clients {
		clients[i] = shop.Client{
			Name:    fmt.Sprintf("Client %d", i+1),
			Email:   fmt.Sprintf("client%d@shop.example", i+1),
			Tags:    [][]string{{}, {"vip"}, {"new", `5% "off"`}}[i%3],
			Address: shop.Address{Street: fmt.Sprintf("%d, High Street", i+1), City: []string{"Oxford", "Leeds"}[i%2]},
		}
	}
	if err := s.Import(ctx, clients); err != nil {
		return "", err
	}
	c, err := s.Get(ctx, 3)
	return fmt.Sprintf("the third is %v", c), err
}

func getClients(ctx context.Context, s shop.Store) (string, error) {
	cities := map[string]int{}
	for id := 1; id <= 100; id++ {
		c, err := s.Get(ctx, id)
		if err != nil {
			return "", err
		}
		cities[c.Address.City]++
	}
	return fmt.Sprint(cities), nil
}

func findClients(ctx context.Context, s shop.Store) (string, error) {
	var counts []string
	for range 5 {
		counts = counts[:0]
		for _, f := range []shop.Filter{
			{IDs: []int{7, 8, 9, 1000}},
			{Name: "%1", Tag: "vip"},
			{Tag: `5% "off"`, IDs: []int{}},
			{},
		} {
			found, err := s.Find(ctx, f)
			if err != nil {
				return "", err
			}
			counts = append(counts, fmt.Sprint(len(found)))
		}
	}
	return strings.Join(counts, ", ") + " clients", nil
}

var basket = []shop.Item{
	{Product: "anvil", Quantity: 1, Price: "199.00"},
	{Product: "rocket skates", Quantity: 2, Price: "49.95"},
	{Product: "bird seed", Quantity: 10, Price: "0.99"},
	{Product: "rope", Quantity: 3, Price: "7.50"},
	{Product: "magnet", Quantity: 1, Price: "25.00"},
}

func placeOrders(ctx context.Context, s shop.Store) (string, error) {
	for i := range 20 {
		if _, err := s.Order(ctx, 1+i%4, basket); err != nil {
			return "", err
		}
	}
	c, err := s.Get(ctx, 4)
	return "client 4 has spent " + c.Total, err
}

func fail(ctx context.Context, s shop.Store) (string, error) {
	if _, err := s.Get(ctx, -1); !errors.Is(err, shop.ErrNoClient) {
		return "", fmt.Errorf("looking for nobody: %w", err)
	}
	if _, err := s.Order(ctx, -1, basket); !errors.Is(err, shop.ErrNoClient) {
		return "", fmt.Errorf("an order of nobody: %w", err)
	}
	c := shop.Client{Name: "Hooli", Email: "hi@hooli.example", Tags: []string{"new"}}
	if _, err := s.Add(ctx, c); err != nil {
		return "", err
	}
	_, err := s.Add(ctx, c)
	if !errors.Is(err, shop.ErrEmailTaken) {
		return "", fmt.Errorf("the same address again: %w", err)
	}
	return err.Error(), nil
}

func hearOfOrder(ctx context.Context, s shop.Store) (string, error) {
	orders, err := s.Orders(ctx)
	if err != nil {
		return "", err
	}
	want, err := s.Order(ctx, 5, basket[:1])
	if err != nil {
		return "", err
	}
	for order, err := range orders {
		if err != nil || order != fmt.Sprint(want) {
			return "", fmt.Errorf("waiting for order %d: %q, %w", want, order, err)
		}
		break
	}
	return "the order that was placed", nil
}

// race has several orders of one client at once, which is what makes the server
// refuse some of them with a serialization failure.
func race(ctx context.Context, s shop.Store) (string, error) {
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			for range 3 {
				_, err := s.Order(ctx, 6, basket)
				errs[i] = errors.Join(errs[i], err)
			}
		})
	}
	wg.Wait()
	c, err := s.Get(ctx, 6)
	return "client 6 has spent " + c.Total, errors.Join(append(errs, err)...)
}
